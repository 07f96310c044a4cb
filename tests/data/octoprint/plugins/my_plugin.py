__plugin_name__ = "mine"
