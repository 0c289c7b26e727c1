"""Boards, brokers and bridges to test against: each speaks the real protocol."""
