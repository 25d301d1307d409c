"""An HTTP client with bounded answers and judged addresses; it knows no WhatsApp."""
