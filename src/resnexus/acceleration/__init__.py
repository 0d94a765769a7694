"""The same function, faster: back ends that run a network, and the choice between them."""
