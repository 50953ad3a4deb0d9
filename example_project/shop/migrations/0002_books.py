from django.db import migrations

BOOKS = """
Jane Austen | Sense and Sensibility | 1811
Jane Austen | Pride and Prejudice | 1813
Jane Austen | Emma | 1815
Jane Austen | Persuasion | 1817
Mary Shelley | Frankenstein | 1818
Walter Scott | Ivanhoe | 1819
Alexandre Dumas | The Count of Monte Cristo | 1846
Emily Brontë | Wuthering Heights | 1847
Charlotte Brontë | Jane Eyre | 1847
Anne Brontë | The Tenant of Wildfell Hall | 1848
William Makepeace Thackeray | Vanity Fair | 1848
Nathaniel Hawthorne | The Scarlet Letter | 1850
Herman Melville | Moby-Dick | 1851
Charles Dickens | Bleak House | 1853
Elizabeth Gaskell | North and South | 1855
Gustave Flaubert | Madame Bovary | 1857
Wilkie Collins | The Woman in White | 1860
George Eliot | The Mill on the Floss | 1860
Charles Dickens | Great Expectations | 1861
Victor Hugo | Les Misérables | 1862
Lewis Carroll | Alice's Adventures in Wonderland | 1865
Fyodor Dostoevsky | Crime and Punishment | 1866
Wilkie Collins | The Moonstone | 1868
Louisa May Alcott | Little Women | 1868
Leo Tolstoy | War and Peace | 1869
Jules Verne | Twenty Thousand Leagues Under the Seas | 1870
George Eliot | Middlemarch | 1871
Thomas Hardy | Far from the Madding Crowd | 1874
Leo Tolstoy | Anna Karenina | 1878
Henry James | The Portrait of a Lady | 1881
Robert Louis Stevenson | Treasure Island | 1883
Mark Twain | Adventures of Huckleberry Finn | 1884
Thomas Hardy | The Mayor of Casterbridge | 1886
Jerome K. Jerome | Three Men in a Boat | 1889
Oscar Wilde | The Picture of Dorian Gray | 1890
Thomas Hardy | Tess of the d'Urbervilles | 1891
Theodor Fontane | Effi Briest | 1895
H. G. Wells | The Time Machine | 1895
Bram Stoker | Dracula | 1897
Kate Chopin | The Awakening | 1899
Joseph Conrad | Lord Jim | 1900
Rudyard Kipling | Kim | 1901
Thomas Mann | Buddenbrooks | 1901
Jack London | The Call of the Wild | 1903
Edith Wharton | The House of Mirth | 1905
E. M. Forster | A Room with a View | 1908
"""


def fill_shelves(apps, schema_editor):
    book = apps.get_model("shop", "Book")
    rows = [line.split(" | ") for line in BOOKS.strip().splitlines()]
    book.objects.using(schema_editor.connection.alias).bulk_create(
        book(author=author, title=title, year=int(year)) for author, title, year in rows
    )


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.RunPython(fill_shelves, migrations.RunPython.noop)]
