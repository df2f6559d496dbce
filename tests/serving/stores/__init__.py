import pytest

# They hold assertions, though they are no tests by themselves.
pytest.register_assert_rewrite("tests.serving.stores.denying", "tests.serving.stores.rolling_out")
