"""No DAG, but the place where Airflow shows which shops' configurations it left out, and why.

Airflow shows an error beside the file that raised it and drops that file's DAGs; raised here it
takes no shop's DAGs down.
"""

from topshelf_shops import configured_shops

mistakes = configured_shops().mistakes
if mistakes:
    raise ValueError("shops that are not run:\n" + "\n".join(mistakes))
