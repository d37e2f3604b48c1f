"""Each figure that boostlab claims, against what a user would pick instead, both sides in one run."""
