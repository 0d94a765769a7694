"""The same function, faster: exact rewrites of a network, back ends that run it, and the choice between them."""
