"""The relay of a fusion node: carries packets and answers between two chains, and is believed by neither."""
