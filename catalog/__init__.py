"""What must connect and what was seen: the domain model and its PostgreSQL store."""
