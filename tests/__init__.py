"""The tests, and the equipment they run against (`fakes`)."""
