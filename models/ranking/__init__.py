"""The second stage: candidates of several methods, described and ranked by boosted trees."""
