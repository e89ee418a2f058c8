"""Networks for real hosts: what a file plans, ceremonies in which only public halves travel, homes and their units."""
