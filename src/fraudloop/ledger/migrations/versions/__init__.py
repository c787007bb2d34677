"""One module for each revision; a revision that was released is never changed."""
