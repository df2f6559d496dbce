"""The console: pages for people, on what is served to whom and why. Forms and tables, no scripts.

Who signs in gives an API key, which the browser keeps in a cookie that no script and no other site
can use. It lets them see what the key may read; hiding an item takes the scope ``admin``.
"""
