"""Many terminals around one PostgreSQL: rows up, the company's state down, faces sealed for the terminals that may open them."""
