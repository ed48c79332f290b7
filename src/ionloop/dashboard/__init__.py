"""The web page: campaigns for those who don't run them. It reads, and has no way to write."""
