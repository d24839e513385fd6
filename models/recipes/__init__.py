"""Recipes: settings that belong together, one YAML file each; `models.training.recipe_files` reads them."""
