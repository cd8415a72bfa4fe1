"""Policy in and out of files: NeuVector's custom resources and our own documents.

`documents` judges one document, `neuvector` converts custom resources both ways, `merge`, `matching`
and `placing` make one request of many documents, `prune` finds what no document names, and `layout`
says which file an exported object stands in. All of it is data to data; files are the CLI's.
"""
