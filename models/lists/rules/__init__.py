"""Business rules: what people decide about lists, whoever ranks them."""
