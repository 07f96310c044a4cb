"""The bridge: the messages between core and front, and both ends. It knows neither of them."""
