"""`TSIService`: what the client port answers; queries have a package of their own."""
