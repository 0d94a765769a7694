"""One network as an artefact in every form: written, compared with the network, and opened again."""
