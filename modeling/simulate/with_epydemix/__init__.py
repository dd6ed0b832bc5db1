"""Stage B with epydemix, one trajectory at a time: for user functions, and ENGINE=epydemix."""
