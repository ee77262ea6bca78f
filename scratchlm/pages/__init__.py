"""What the pages of `demos/` share, and no page is about: so that a page alone, in a notebook anywhere, finds it."""
