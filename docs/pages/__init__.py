"""What makes the site's pages out of the tree: nothing here names a module of the packages."""
