"""What the page looks like: pictures of it by one command, each checked before it is kept."""
