"""Every command: parse, call one library function, print; a module for each subject."""
