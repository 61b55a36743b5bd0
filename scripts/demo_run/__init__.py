"""What `scripts/demo` does once everything is built."""
