"""Evaluators and their protocols, as callbacks that a recipe lists."""
