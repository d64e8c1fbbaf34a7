"""All that reads what somebody else wrote, each with a good file that it reads."""
