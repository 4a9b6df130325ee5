"""Labels spread over a graph whose edges join images that an augmentation can bring close to each
other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import csr_array, diags_array
from torch import Generator, Tensor

from downstream.augment import Augment

ROWS = 500  # images at a time; 500 rows of 60,000 distances are 120 MB
LARGEST_SQUARE = (
    3072  # side of the matrices of which all eigenvectors are taken: RGB images of 32 pixels
)
EXTRA, ROUNDS = (
    10,
    6,
)  # of the search for components where images and their numbers are both more than that


def invariant_graph(
    x: Tensor,
    augment: Augment,
    *,
    seed: int,
    neighbours: int = 10,
    draws: int = 32,
    candidates: int = 100,
    components: int = 50,
) -> csr_array:
    r"""A symmetric nearest-neighbour graph under a distance that augmentation does not change much.

    The distance of image i to image j is the least one over random augmentations of i,

    .. math:: d(i, j) = \min_t \lVert P\,t(x_i) - P\,x_j \rVert, \qquad
              w_{ij} = \exp(-4\,d(i, j)^2 / d_k(i)^2),

    with P the first principal components of augmented images and d_k(i) the distance to the k-th
    neighbour, a one-sided tangent distance by sampling. Neighbours are looked for among the nearest
    ones without augmentation.

    Args:
        x: Images, shape (N, C, H, W), in [-1, 1], N >= 2.
        augment: What leaves the class unchanged.
        seed: Draws the augmentations.
        neighbours: Edges k that every image asks for; fewer if there are not as many images.
        draws: Augmented versions of every image, beside the image itself.
        candidates: Nearest images (without augmentation) that are compared.
        components: Principal components.

    Returns:
        Weights in (0, 1], float32, sparse (N, N), symmetric, with an empty diagonal.

    Source:
        The weights are those of Calder et al. 2020, arXiv:2006.11184; the distance is in the spirit
        of Simard et al. 1992 (tangent distance).
    """
    rng = torch.Generator().manual_seed(seed)
    pieces = torch.split(x, ROWS)
    directions, mean = _principal_components(_augmented(pieces, augment, rng), components, seed)
    points = torch.cat([_projected(piece, mean, directions) for piece in pieces])
    nearest = _nearest(points, min(candidates, len(x) - 1))
    found = []
    parts = torch.split(points, ROWS), torch.split(nearest, ROWS)
    for piece, own, near in zip(pieces, *parts, strict=True):
        versions = [_projected(augment(piece, rng), mean, directions) for _ in range(draws)]
        # All versions at once, as the points of the candidates take long to gather.
        distances = torch.cdist(torch.stack([own, *versions], dim=1), points[near])
        found.append(distances.amin(dim=1))
    closest = torch.cat(found).topk(min(neighbours, nearest.shape[1]), largest=False)
    return _symmetric(nearest.gather(1, closest.indices), closest.values)


def spread_labels(
    graph: csr_array, labelled: Tensor, y: Tensor, num_classes: int, steps: int = 500
) -> Tensor:
    r"""Label scores of every image from a few labelled ones: Poisson learning.

    Random walkers start at the labelled images, equally many from every class, and are counted
    wherever they pass, less the mean over classes:

    .. math:: u \leftarrow u + D^{-1}(b - L u), \qquad
              b_i = \frac{n}{K n_{y_i}} \left(e_{y_i} - \frac{1}{K}\right) \text{ at labelled
              images, else } 0,

    with n labels, n_c of class c, and K classes that have one. It stays informative at one label a
    class, where spreading that clamps the labels forgets them. Of a long tail of labels the classes
    still get equal parts of the graph; by single labels the common ones would take nearly all of
    it.

    Args:
        graph: Symmetric weights, sparse (N, N), every image with an edge.
        labelled: Numbers of the labelled images, int64 (L,), L > 0.
        y: Their classes, int64 (L,), in [0, num_classes).
        num_classes: Number of classes K.
        steps: Iterations.

    Returns:
        Scores, float32 (N, K), rows summing to about zero; the largest is the class. Labelled
        images may be overruled.

    Raises:
        ValueError: If labels are missing or the shapes differ.

    Source:
        Calder et al. 2020, "Poisson Learning", arXiv:2006.11184, algorithm 1; its prior, here equal
        class sizes, weighs the labels instead of the scores: the same largest score, other margins.
    """
    if len(labelled) == 0 or labelled.shape != y.shape:
        raise ValueError(
            f"need as many labels as labelled images, more than none: {len(labelled)} and {len(y)}"
        )
    walk, degree = _walk(graph)
    source = np.zeros((graph.shape[0], num_classes), np.float32)
    source[labelled.numpy()] = _from_each_label(y.numpy(), num_classes)
    source /= degree[:, None]
    scores = np.zeros_like(source)
    for _ in range(steps):
        scores = walk @ scores + source
    return torch.from_numpy(scores)


def margins(scores: Tensor) -> Tensor:
    """How clear the largest of the scores (N, K) is: its lead over the second by the sum of sizes,
    (N,) in [0, 1].
    """
    first, second = scores.topk(2, dim=1).values.unbind(dim=1)
    return (first - second) / scores.abs().sum(dim=1).clamp(min=1e-12)


def _augmented(pieces: Sequence[Tensor], augment: Augment, rng: Generator) -> Tensor:
    """One augmentation of every image, (N, D)."""
    flat = pieces[0].new_empty(sum(map(len, pieces)), pieces[0][0].numel())
    for rows, piece in zip(torch.split(flat, ROWS), pieces, strict=True):
        rows.copy_(augment(piece, rng).flatten(1))
    return flat


def _projected(x: Tensor, mean: Tensor, directions: Tensor) -> Tensor:
    """Images (N, C, H, W) as points (N, components)."""
    return (x.flatten(1) - mean) @ directions


def _principal_components(x: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Directions (D, count), orthonormal, of the largest variance, and the mean (D,); fewer if N or
    D are smaller.

    They are exact where N or D is at most ``LARGEST_SQUARE``; the D x D covariance of larger images
    would fill the memory. Else they are searched for from a random start.
    """
    mean = x.mean(dim=0)
    if x.shape[1] <= LARGEST_SQUARE:
        covariance = (x - mean).t() @ (x - mean)
        return torch.linalg.eigh(covariance).eigenvectors[:, -count:], mean
    if len(x) <= LARGEST_SQUARE:
        return _components_of_few(x - mean, count), mean
    return _components_by_search(x, mean, count, seed), mean


def _components_of_few(centred: Tensor, count: int) -> Tensor:
    """Principal directions of N < D rows (N, D), by the N x N matrix of their products."""
    largest_first = torch.linalg.eigh(centred @ centred.t()).eigenvectors[:, -count:].flip(1)
    directions: Tensor = torch.linalg.qr(centred.t() @ largest_first).Q
    return directions


def _components_by_search(x: Tensor, mean: Tensor, count: int, seed: int) -> Tensor:
    """Nearly the principal directions (D, count) of many rows (N, D), never more than ``ROWS`` of
    them centred at once.

    Source:
        Halko et al. 2011, arXiv:0909.4061, algorithm 4.4 (randomized subspace iteration), on the
        covariance.
    """
    start = torch.randn(
        x.shape[1], count + EXTRA, generator=torch.Generator().manual_seed(seed)
    ).to(x)
    basis = torch.linalg.qr(start).Q
    for _ in range(ROUNDS):
        # The covariance times the basis, without the covariance.
        parts = (some - mean for some in torch.split(x, ROWS))
        basis = torch.linalg.qr(
            sum((part.t() @ (part @ basis) for part in parts), torch.zeros_like(basis))
        ).Q
    within = torch.cat([(some - mean) @ basis for some in torch.split(x, ROWS)])
    directions: Tensor = basis @ torch.linalg.eigh(within.t() @ within).eigenvectors[:, -count:]
    return directions


def _nearest(points: Tensor, count: int) -> Tensor:
    """Numbers of the ``count`` nearest other points, int64 (N, count)."""
    found = []
    for rows in torch.split(torch.arange(len(points), device=points.device), ROWS):
        distances = torch.cdist(points[rows], points)
        distances[torch.arange(len(rows)), rows] = torch.inf
        found.append(distances.topk(count, largest=False).indices)
    return torch.cat(found)


def _symmetric(indices: Tensor, distances: Tensor) -> csr_array:
    count, k = indices.shape
    # Twins have distance zero, and a row of nothing but twins no scale.
    scale = distances[:, -1:].clamp(min=1e-12)
    weights = torch.exp(-4 * (distances / scale).square()).flatten().numpy()
    rows = np.repeat(np.arange(count), k)
    graph = csr_array((weights, (rows, indices.flatten().numpy())), shape=(count, count))
    return csr_array(graph.maximum(graph.T))


def _from_each_label(y: np.ndarray, num_classes: int) -> np.ndarray:
    """What starts at each label (L, K): rows sum to zero, columns too, and every class there is has
    the same mass.
    """
    counts = np.bincount(y, minlength=num_classes)
    present = counts > 0
    rows = np.eye(num_classes)[y] - present / present.sum()
    each: np.ndarray = rows * (len(y) / (present.sum() * counts[y]))[:, None]
    return each


def _walk(graph: csr_array) -> tuple[csr_array, np.ndarray]:
    """The random walk D^-1 W, and the degrees (N,)."""
    degree = np.asarray(graph.sum(axis=1)).ravel()
    return csr_array(diags_array(1 / degree) @ graph), degree
