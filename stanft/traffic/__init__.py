"""Publishers and subscribers, and the ledger of what was acknowledged and delivered."""
