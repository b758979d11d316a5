# The Autotest suite and what it drives.
