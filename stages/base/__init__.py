"""What every room and stage uses: files that appear whole, and labelled images."""
