"""How the ledger's tables came to be, revision by revision."""
