"""What runs say of methods: intervals, tests, ranks."""
