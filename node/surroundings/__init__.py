"""What a home stands on: its files, its disk, its clock, its peers, checked and put into words."""
