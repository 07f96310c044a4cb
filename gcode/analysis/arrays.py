"""Names for the types of arrays in the analysis."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
