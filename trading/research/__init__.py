"""What a result is worth: its figures, how much of it may be luck, and whether it may go live.  No Django, no I/O."""
