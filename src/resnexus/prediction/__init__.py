"""From pictures to records: one picture or a hundred million, one record for each, whatever is in the file."""
