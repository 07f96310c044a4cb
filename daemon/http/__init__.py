"""What both HTTP servers, a printer's front and the farm's, have in common: handlers, errors, forms."""
