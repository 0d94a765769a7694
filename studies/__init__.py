"""Scripts that make the records in results/ and the pages that are written from them."""
