"""NeuVector's custom resources, both ways; one file a subject, `resources` has the table."""
