"""How fast waitctl is, as ratios against hand-written references that alternate with it in the same run."""
