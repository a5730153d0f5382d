"""`python -m plateau_doctor`."""

from plateau_doctor.cli import main

main()
