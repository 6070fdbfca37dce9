"""What people touch: commands and their configuration, folders of results, the HTML page."""
