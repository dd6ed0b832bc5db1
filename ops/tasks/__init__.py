"""Every operation as an invoke task, by family: parse, call one function of ops/, print. No logic here."""
