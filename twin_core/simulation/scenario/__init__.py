"""What-if: edits to a hospital in the ward's words, and what they would change."""
