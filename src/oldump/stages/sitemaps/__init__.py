"""Index, sitemaps and HTML index: where the documents of a dump are on the site."""
