import numpy as np
import tensorflow as tf

from keras_sat.layers.noise import SILENCE, SILENT_TRAINING, Noise


def test_a_replica_draws_its_rows_of_the_global_batch():
    everything = Noise(1, 7, tf.range(13)).uniform("words", [5, 33])
    for rows in ([0, 1, 2], [9, 10, 11, 12], [3]):
        part = Noise(1, 7, tf.constant(rows)).uniform("words", [5, 33])
        np.testing.assert_array_equal(part, everything.numpy()[rows])


def test_seed_step_and_name_give_independent_draws():
    draws = [
        Noise(s, t, tf.range(4)).uniform(n, [50]).numpy()
        for s, t, n in [(1, 1, "a"), (2, 1, "a"), (1, 2, "a"), (1, 1, "b")]
    ]
    for i in range(4):
        for j in range(i):
            assert not np.any(draws[i] == draws[j])


def test_dropout_keeps_the_mean():
    ones = tf.ones([64, 1000])
    dropped = Noise(0, 0, tf.range(64)).dropout("x", ones, 0.3).numpy()
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs(dropped.mean() - 1) < 0.01


def test_channel_dropout_takes_a_channel_everywhere():
    maps = tf.ones([64, 3, 4, 1000])
    dropped = Noise(0, 0, tf.range(64)).channel_dropout("x", maps, 0.3).numpy()
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.7)}
    np.testing.assert_array_equal(dropped, np.broadcast_to(dropped[:, :1, :1], dropped.shape))
    assert abs(dropped.mean() - 1) < 0.01 and (dropped[0] != dropped[1]).any()


def test_silence_changes_nothing():
    maps = tf.ones([2, 3, 4, 5])
    for silence in (SILENCE, SILENT_TRAINING):
        assert not silence.draws
        assert silence.dropout("x", maps, 0.5) is maps
        assert silence.channel_dropout("x", maps, 0.5) is maps
        assert silence.at(tf.constant([0]), [2, 3]).dropout("x", maps, 0.5) is maps
    assert SILENT_TRAINING.training and not SILENCE.training


def test_the_noise_of_chosen_elements_is_that_of_all():
    inputs = tf.ones([4, 3, 50])
    noise = Noise(1, 7, tf.range(4))
    everywhere = noise.dropout("x", inputs, 0.3)
    places = tf.constant([0, 5, 11])
    chosen = noise.at(places, tf.constant([4, 3])).dropout("x", tf.ones([3, 50]), 0.3)
    np.testing.assert_array_equal(chosen, tf.gather(tf.reshape(everywhere, [12, 50]), places))
