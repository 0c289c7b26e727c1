"""What tries to break the five promises, edge to edge: hostile boards, clients and files."""
